//! EC2 and ELBv2 over the real SDK.
