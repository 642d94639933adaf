"""Pages that are written from the code, so that they cannot tell anything else."""
