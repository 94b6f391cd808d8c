//! Version 1.0, to come.
