// The command of Debian's Chromium. The one without windows takes half of the processor's time for the same page.

import { existsSync } from 'node:fs'

const WITHOUT_WINDOWS = 'chromium-headless-shell'

export const CHROMIUM = existsSync(`/usr/bin/${WITHOUT_WINDOWS}`) ? WITHOUT_WINDOWS : 'chromium'
