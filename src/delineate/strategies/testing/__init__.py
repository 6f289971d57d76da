"""What every strategy must keep, as checks that run on any of them, also on those of other packages."""
