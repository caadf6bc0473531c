"""From a student that passed to a release that devices take: gate, keys, signing, publishing."""
