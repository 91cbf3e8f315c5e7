"""Grade what students hand in: released, run in a sandbox, given points, reported."""
