/**
 * Refresh tokens: `prt_` + base64url(session 16 · number 4 · MAC 32). The MAC makes a token a
 * function of (session, number), so the same successor can be given twice though no token is stored,
 * and garbage with a guessed session id is told from an old genuine token, whose reuse revokes.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { ParleyError } from '../../core/errors.ts';
import { decodeId, encodeId, ID_BYTES, type SessionId } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';

export interface PresentedRefresh {
  readonly sessionId: SessionId;
  readonly count: number;
}

const PREFIX = 'prt_';
const HEAD_BYTES = ID_BYTES + 4;
const MAC_BYTES = 32;

export class RefreshTokens {
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    invariant(key.length === 32, 'refresh-tokens.key-length', { bytes: key.length });
    this.#key = key;
  }

  make(sessionId: SessionId, count: number): string {
    const raw = decodeId('ses', sessionId);
    invariant(raw !== undefined, 'refresh-tokens.session-id');
    const head = Buffer.alloc(HEAD_BYTES);
    head.set(raw, 0);
    head.writeUInt32BE(count, ID_BYTES);
    return PREFIX + Buffer.concat([head, this.#mac(head)]).toString('base64url');
  }

  /** Throws TOKEN_INVALID for everything that this key did not make. */
  parse(text: unknown): PresentedRefresh {
    const bytes =
      typeof text === 'string' && text.startsWith(PREFIX) && text.length < 200
        ? Buffer.from(text.slice(PREFIX.length), 'base64url')
        : Buffer.alloc(0);
    const head = bytes.subarray(0, HEAD_BYTES);
    const mac = bytes.subarray(HEAD_BYTES);
    if (mac.length !== MAC_BYTES || !timingSafeEqual(mac, this.#mac(head)))
      throw new ParleyError('TOKEN_INVALID', 'this is not a refresh token of this server');
    // Decode boundary: the MAC vouches for the session id inside.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const sessionId = encodeId('ses', head) as SessionId;
    return { sessionId, count: head.readUInt32BE(ID_BYTES) };
  }

  #mac(head: Uint8Array): Buffer {
    return createHmac('sha256', this.#key).update('parley.refresh.v1\0').update(head).digest();
  }
}
