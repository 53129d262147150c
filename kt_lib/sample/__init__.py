"""The shipped sample: a finished small run that notebooks opened by hand read where no run has finished yet."""
