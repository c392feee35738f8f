"""One image in, one image out; `preprocessing_factory.PREPROCESSINGS` is the table."""
