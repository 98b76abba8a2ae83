//! A model of EC2 and ELBv2 with AWS's real semantics.
