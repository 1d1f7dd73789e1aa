"""The hand-written SQL of this package. Each statement says what it saves over the ORM."""
