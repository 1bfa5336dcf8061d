/**
 * A WebSocket as gateways see it, whichever library carries it. The carrier has checked framing and
 * UTF-8; it hands over whole messages and takes whole batches.
 */
import type { Reason } from '../../core/errors.ts';
import type { Batch, Format } from '../wire.ts';

export const SUBPROTOCOLS: Readonly<Record<string, Format>> = {
  'parley.v1.proto': 'proto',
  'parley.v1.json': 'json',
};

/**
 * The most a carrier takes in one message. Above FRAME_BYTES_MAX a connection is told so
 * (FRAME_TOO_LARGE); above this the carrier itself cuts it off.
 */
export const CARRIER_BYTES_MAX: number = 1024 * 1024;

export interface Socket {
  readonly format: Format;
  /** What the peer is counted under while nobody is known: see ClientAddresses. */
  readonly address: string;
  /** Bytes that were sent and have not left this process. */
  readonly bufferedBytes: number;
  /** Copies what is in the batch, which serves again when this returns; after `close` it is dropped. */
  send(batch: Batch): void;
  /** Ends it behind what was sent. Idempotent. */
  close(code: number, reason: string): void;
}

export interface SocketEvents {
  /** `isText` false = a binary message. The bytes are valid until it returns. */
  message(data: Buffer, isText: boolean): void;
  /** The buffer has become smaller. */
  drained(): void;
  /** The socket is gone, whoever ended it. */
  closed(): void;
}

/** What a carrier asks before it accepts a connection. */
export interface Handshake {
  readonly origin: string;
  readonly host: string;
  readonly protocols: readonly string[];
}

/** `protocol` is what the answer names; with a refusal the socket is opened, told, and closed. */
export interface HandshakeVerdict {
  readonly format: Format;
  readonly protocol: string;
  readonly refusal: Reason | undefined;
}

/** Takes sockets in; the gateway is one. */
export interface SocketAcceptor {
  judge(handshake: Handshake): HandshakeVerdict;
  accept(socket: Socket, refusal: Reason | undefined): SocketEvents;
}
