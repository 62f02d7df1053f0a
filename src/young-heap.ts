// To be imported before anything else: keeps the young generation of V8's heap small.
//
// V8 lets it grow to 3 x 16 MiB and more under a connection storm and hardly gives it back: at 5,000 pairs that doubles
// the memory of each (figures in bench/README.md). It must be said before the heap has grown, so before other modules load.

process.getBuiltinModule('node:v8').setFlagsFromString('--max-semi-space-size=4')
