//! How fast a run will be, from history; pure.
