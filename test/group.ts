// A group of files, or a part of it such as `fleet 1/4`, in one process, one file after another.

import { filesOf, groups, load } from './rings.ts'
import './support/leaks.ts'

const [, , name = '', part] = process.argv
const group = groups[name]
if (group === undefined)
  throw new Error(`no such group: ${name}; there are ${Object.keys(groups).join(', ')}`)
await load(filesOf(group), part)
