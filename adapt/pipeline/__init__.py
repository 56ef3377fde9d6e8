"""What the stages read, do and write: params.yaml, the folders data/ and runs/, and DVC."""
