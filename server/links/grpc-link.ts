/**
 * Link between processes: one grpc-js bidirectional stream of frames. A frame is a slab's used bytes;
 * a frame whose first word is 0 is a control: word 1 = kind (hello, credit, close), word 2 = value.
 */
import {
  makeGenericClientConstructor,
  type ChannelCredentials,
  type ClientDuplexStream,
  type Server,
  type ServerDuplexStream,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import { ParleyError } from '../../core/errors.ts';
import { invariant } from '../../core/invariant.ts';
import type { Link, LinkEvents } from '../../core/link.ts';
import { decodeError, encodeError } from '../../core/link-payload.ts';
import { SLAB_BYTES, Slab } from '../../core/record.ts';
import { CreditWindow } from './credit-window.ts';

const PROTOCOL_VERSION = 1;
const FRAME_BYTES_MAX = 32 * 1024 * 1024;
const CONTROL = { hello: 1, credit: 2, close: 3 } as const;
const CONTROL_BYTES = 12;

const asBuffer = (frame: Buffer): Buffer => frame;

/** The service that carries Links; it has no message types of its own. */
const PIPE: ServiceDefinition = {
  Pipe: {
    path: '/parley.broker.v1.LinkService/Pipe',
    requestStream: true,
    responseStream: true,
    requestSerialize: asBuffer,
    requestDeserialize: asBuffer,
    responseSerialize: asBuffer,
    responseDeserialize: asBuffer,
  },
};
const PipeClient = makeGenericClientConstructor(PIPE, 'LinkService');

type Stream = ClientDuplexStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;

export const GRPC_LINK_OPTIONS: Readonly<Record<string, number>> = {
  'grpc.max_receive_message_length': FRAME_BYTES_MAX,
  'grpc.max_send_message_length': FRAME_BYTES_MAX,
};

/** Every incoming Link is handed to `accept`; the server's credentials decide who may dial. */
export function serveLinks(server: Server, accept: (link: Link) => void): void {
  server.addService(PIPE, {
    Pipe: (stream: ServerDuplexStream<Buffer, Buffer>) =>
      accept(new GrpcLink(stream, () => stream.end())),
  });
}

/** Opens a Link. It counts as open at once; if nobody is there, `closed` says so. */
export function dialLink(address: string, credentials: ChannelCredentials): Link {
  const client = new PipeClient(address, credentials, GRPC_LINK_OPTIONS);
  const method = client['Pipe'];
  invariant(typeof method === 'function', 'link.pipe-defined');
  const stream = method.call(client) as ClientDuplexStream<Buffer, Buffer>;
  return new GrpcLink(stream, () => {
    stream.end();
    client.close();
  });
}

class GrpcLink implements Link {
  readonly #stream: Stream;
  readonly #end: () => void;
  readonly #window = new CreditWindow();
  #events: LinkEvents | undefined;
  #isClosed = false;

  constructor(stream: Stream, end: () => void) {
    this.#stream = stream;
    this.#end = end;
    stream.pause();
    stream.write(control(CONTROL.hello, PROTOCOL_VERSION));
    stream.on('error', (error: Partial<ServiceError>) => this.#broken(error));
  }

  get isWritable(): boolean {
    return !this.#isClosed && this.#window.isWritable;
  }

  get bytesUnderWay(): number {
    return this.#window.bytesUnderWay;
  }

  listen(events: LinkEvents): void {
    invariant(this.#events === undefined, 'link.listened-once');
    this.#events = events;
    this.#stream.on('data', (frame: Buffer) => this.#arrived(frame, events));
    this.#stream.on('end', () => this.#broken({}));
    this.#stream.resume();
  }

  send(slab: Slab): void {
    if (this.#isClosed) return;
    this.#stream.write(Buffer.from(slab.buffer, 0, slab.used));
    const overrun = this.#window.sent(slab.used);
    if (overrun !== undefined) this.close(overrun);
  }

  /** Memory is not shared with the other side: it is left to the garbage collector. */
  giveBack(): void {}

  close(reason?: ParleyError): void {
    if (this.#isClosed) return;
    const detail = reason === undefined ? new Uint8Array(0) : encodeError(reason);
    this.#stream.write(Buffer.concat([control(CONTROL.close, 0), detail]));
    this.#ended(reason);
  }

  #arrived(frame: Buffer, events: LinkEvents): void {
    if (this.#isClosed) return;
    if (frame.readUInt32LE(0) === 0) {
      this.#controlled(frame, events);
      return;
    }
    // Records want 8-byte alignment and an owner; a gRPC buffer promises neither.
    const slab = new Slab(new ArrayBuffer(Math.max(SLAB_BYTES, frame.length)));
    slab.bytes.set(frame);
    slab.used = slab.words[0] ?? 0;
    const credit = this.#window.consumed(slab.used);
    events.slab(slab);
    if (credit > 0 && !this.#isClosed) this.#stream.write(control(CONTROL.credit, credit));
  }

  #controlled(frame: Buffer, events: LinkEvents): void {
    const kind = frame.readUInt32LE(4);
    const value = frame.readUInt32LE(8);
    if (kind === CONTROL.credit) {
      if (this.#window.credited(value)) events.writable();
    } else if (kind === CONTROL.close) {
      const detail = frame.subarray(CONTROL_BYTES);
      this.#ended(detail.length === 0 ? undefined : decodeError(detail));
    } else if (kind === CONTROL.hello && value !== PROTOCOL_VERSION) {
      this.close(
        new ParleyError(
          'PROTOCOL_UNSUPPORTED',
          `the other node speaks version ${value} of links, this one ${PROTOCOL_VERSION}`,
        ),
      );
    }
  }

  #broken(error: Partial<ServiceError>): void {
    this.#ended(
      new ParleyError('SHARD_UNAVAILABLE', 'the link to another node broke', {}, { cause: error }),
    );
  }

  #ended(reason: ParleyError | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#events?.closed(reason);
    this.#end();
  }
}

function control(kind: number, value: number): Buffer {
  const frame = Buffer.alloc(CONTROL_BYTES);
  frame.writeUInt32LE(kind, 4);
  frame.writeUInt32LE(value, 8);
  return frame;
}
