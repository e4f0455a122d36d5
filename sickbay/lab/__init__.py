"""The lab: real servers with real faults, described as data. Needs the extra `demo`."""
