//! From a request, a profile and an estimate to a plan; pure.
