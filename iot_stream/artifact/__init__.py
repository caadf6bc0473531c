"""What travels from the service to a device: weights, blobs, and the metadata that makes them trusted.

Shared by `release` (writes) and `device` (reads); needs numpy, safetensors, msgspec and tuf, no torch.
"""
