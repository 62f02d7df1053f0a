// A gRPC service and its callers, by @grpc/grpc-js. Messages are bytes, so no .proto is needed.

import * as grpc from '@grpc/grpc-js'
import type { Test } from 'tap'

const same = (bytes: Buffer): Buffer => bytes
const method = (path: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Echo/${path}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
})

const definition = {
  unary: method('Unary', false, false),
  download: method('Download', false, true),
  upload: method('Upload', true, false),
  chat: method('Chat', true, true),
  /** Never answers. */
  hang: method('Hang', false, false),
} satisfies grpc.ServiceDefinition

type Bytes = Buffer
export interface Caller extends grpc.Client {
  unary(
    message: Bytes,
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    done: grpc.requestCallback<Bytes>,
  ): grpc.ClientUnaryCall
  hang: Caller['unary']
  download(
    message: Bytes,
    metadata?: grpc.Metadata,
    options?: grpc.CallOptions,
  ): grpc.ClientReadableStream<Bytes>
  upload(done: grpc.requestCallback<Bytes>): grpc.ClientWritableStream<Bytes>
  chat(metadata?: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<Bytes, Bytes>
}

export interface GrpcService {
  port: number
  /** The metadata of each call, in order. */
  calls: Array<{ method: string; metadata: grpc.Metadata; deadline: grpc.Deadline }>
  /** Methods of calls that their callers cancelled. */
  cancelled: string[]
  /** Calls of `chat` that are open. */
  chats: Array<grpc.ServerDuplexStream<Bytes, Bytes>>
  server: grpc.Server
}

export interface GrpcServiceOptions {
  options?: grpc.ServerOptions
  credentials?: grpc.ServerCredentials
  /** The service does not read chats: the windows of their streams stay as they are. */
  readsNoChat?: boolean
}

/**
 * unary returns its message; download returns as many messages as the first word of its message says, each of as many bytes as the second says;
 * upload returns the number of bytes that came; chat returns each message as it comes, except `error`, which ends it with DATA_LOSS.
 */
export async function grpcService(
  t: Test,
  {
    options = {},
    credentials = grpc.ServerCredentials.createInsecure(),
    readsNoChat = false,
  }: GrpcServiceOptions = {},
): Promise<GrpcService> {
  const server = new grpc.Server({ 'grpc.max_receive_message_length': -1, ...options })
  const service: GrpcService = { port: 0, calls: [], cancelled: [], chats: [], server }
  const note = (
    name: string,
    call: {
      metadata: grpc.Metadata
      getDeadline(): grpc.Deadline
      on(event: 'cancelled', run: () => void): unknown
    },
  ): void => {
    service.calls.push({ method: name, metadata: call.metadata, deadline: call.getDeadline() })
    call.on('cancelled', () => service.cancelled.push(name))
  }
  server.addService(definition, {
    unary(call: grpc.ServerUnaryCall<Bytes, Bytes>, done: grpc.sendUnaryData<Bytes>) {
      note('unary', call)
      const trailer = new grpc.Metadata()
      trailer.set('x-trailer', 'last')
      done(null, call.request, trailer)
    },
    hang(call: grpc.ServerUnaryCall<Bytes, Bytes>) {
      note('hang', call)
    },
    download(call: grpc.ServerWritableStream<Bytes, Bytes>) {
      note('download', call)
      const [count, size] = [call.request.readUInt32BE(0), call.request.readUInt32BE(4)]
      let sent = 0
      const more = (): void => {
        while (sent < count) {
          const message = Buffer.alloc(size)
          message.writeUInt32BE(sent++)
          if (!call.write(message)) return void call.once('drain', more)
        }
        call.end()
      }
      more()
    },
    upload(call: grpc.ServerReadableStream<Bytes, Bytes>, done: grpc.sendUnaryData<Bytes>) {
      note('upload', call)
      let bytes = 0
      call.on('data', (message: Buffer) => (bytes += message.length))
      call.on('end', () => done(null, Buffer.from(String(bytes))))
    },
    chat(call: grpc.ServerDuplexStream<Bytes, Bytes>) {
      note('chat', call)
      service.chats.push(call)
      if (readsNoChat) return
      call.on('data', (message: Buffer) => {
        if (String(message) === 'error')
          call.emit('error', { code: grpc.status.DATA_LOSS, details: 'as it was told' })
        else call.write(message)
      })
      call.on('end', () => call.end())
    },
  })
  service.port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  )
  t.teardown(() => server.forceShutdown())
  return service
}

const Client = grpc.makeGenericClientConstructor(definition, 'Echo')

export function grpcCaller(
  t: Test,
  port: number,
  credentials: grpc.ChannelCredentials = grpc.credentials.createInsecure(),
  options: grpc.ClientOptions = {},
): Caller {
  const caller = new Client(`localhost:${port}`, credentials, {
    'grpc.max_receive_message_length': -1,
    'grpc.enable_retries': 0,
    // A connection of its own, not one that another caller of the process uses.
    'grpc.use_local_subchannel_pool': 1,
    ...options,
  }) as unknown as Caller
  t.teardown(() => caller.close())
  return caller
}

/** The answer of a call of one message, or its error. */
export function call(
  caller: Caller,
  name: 'unary' | 'hang',
  message: Buffer | string,
  options: grpc.CallOptions & { metadata?: grpc.Metadata } = {},
): { answer: Promise<{ message: Buffer; trailers: grpc.Metadata } | grpc.ServiceError>; cancel(): void } {
  let cancel = (): void => {}
  const answer = new Promise<{ message: Buffer; trailers: grpc.Metadata } | grpc.ServiceError>((resolve) => {
    let answered: Buffer | undefined
    const { metadata = new grpc.Metadata(), ...rest } = options
    const made = caller[name](Buffer.from(message as string), metadata, rest, (error, value) => {
      if (error !== null) resolve(error)
      answered = value
    })
    made.on('status', ({ code, metadata: trailers }) => {
      if (code === grpc.status.OK) resolve({ message: answered!, trailers })
    })
    cancel = () => made.cancel()
  })
  return { answer, cancel: () => cancel() }
}

export function sizes(count: number, size: number): Buffer {
  const message = Buffer.alloc(8)
  message.writeUInt32BE(count)
  message.writeUInt32BE(size, 4)
  return message
}
