// Binds a server to its address; removes the file of a Unix socket that a killed process left behind.

import { unlinkSync } from 'node:fs'
import type net from 'node:net'
import { isLeftBehind } from './left-behind.ts'

/** Resolves once `server` listens, or rejects; calls `onBound` in the turn that bound the address. */
export async function listenOn(
  server: net.Server,
  where: net.ListenOptions,
  onBound: () => void = () => {},
): Promise<void> {
  try {
    await listenOnce(server, where, onBound)
  } catch (error) {
    const { path } = where
    if (path === undefined || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    if (!(await isLeftBehind(path))) throw error
    unlinkSync(path)
    await listenOnce(server, where, onBound)
  }
}

function listenOnce(server: net.Server, where: net.ListenOptions, onBound: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(where, () => {
      server.off('error', reject)
      onBound()
      resolve()
    })
  })
}
