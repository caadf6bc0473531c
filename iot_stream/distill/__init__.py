"""Teacher to student: models, losses, trainer, fusion, export. Importing this package loads no torch."""
