import type { Observer } from '../../src/core/connection.ts'

export const silentObserver: Observer = {
  onOpened() {},
  onConnected() {},
  onConnectFailed() {},
  onHead() {},
  onAnswer() {},
  onMessage() {},
  onPingSent() {},
  onPong() {},
  onMessagesDropped() {},
  onRequest() {},
  onLimited() {},
  onClosed() {},
}
