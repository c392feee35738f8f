"""The nets whose cells were found by search: NASNet-A and PNASNet-5."""
