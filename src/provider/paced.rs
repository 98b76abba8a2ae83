//! One call budget for all fleets, kept in front of the cloud.
