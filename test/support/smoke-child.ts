// The wire tests whose names are its arguments, one file after another.

import { load } from '../rings.ts'
import './leaks.ts'

await load(process.argv.slice(2).map((name) => `test/wire/${name}.test.ts`))
