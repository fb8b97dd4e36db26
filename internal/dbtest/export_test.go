package dbtest

// LockTemplate is the first half of the advisory lock of those who copy a template.
const LockTemplate = lockTemplate

// MemoryFolder is where servers are fast.
var MemoryFolder = memoryFolder
