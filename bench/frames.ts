/**
 * The frames that a load generator needs, written and read by hand on the protobuf wire: the cost of
 * a general codec would be measured as if it were the server's neighbour.
 */

/** A length-delimited message being written: varint-delimited frames of `parley.v1.proto`. */
class Out {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafe(size);
  }

  varint(value: number): this {
    let rest = value;
    while (rest >= 128) {
      this.#bytes[this.#at++] = (rest % 128) + 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#at++] = rest;
    return this;
  }

  number(field: number, value: number): this {
    return value === 0 ? this : this.varint(field * 8).varint(value);
  }

  bytes(field: number, value: Buffer): this {
    this.varint(field * 8 + 2).varint(value.length);
    this.#at += value.copy(this.#bytes, this.#at);
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, 'latin1'));
  }

  done(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }
}

function delimited(frame: Buffer): Buffer {
  return Buffer.concat([new Out(5).varint(frame.length).done(), frame]);
}

/** hello, without resume. */
export function helloFrame(token: string): Buffer {
  return delimited(
    new Out(token.length + 32)
      .number(1, 1)
      .bytes(2, new Out(token.length + 8).text(1, token).done())
      .done(),
  );
}

export interface OutgoingSend {
  readonly id: number;
  readonly to: string;
  readonly outboxId: string;
  readonly clientSeq: number;
  readonly after: number;
  readonly clientMessageId: string;
  readonly text: Buffer;
}

export function sendFrame(send: OutgoingSend): Buffer {
  const size = send.text.length + 64;
  const text = new Out(size).bytes(1, send.text).done();
  const message = new Out(size).bytes(1, text).done();
  const content = new Out(size).bytes(1, message).done();
  const request = new Out(size + 256)
    .text(1, send.to)
    .text(2, send.outboxId)
    .number(3, send.clientSeq)
    .number(4, send.after)
    .text(5, send.clientMessageId)
    .bytes(6, content)
    .done();
  return delimited(new Out(size + 300).number(1, send.id).bytes(3, request).done());
}

/** Delivered marks: (conversation, sequence) pairs. */
export function receiptFrame(epoch: number, marks: Iterable<readonly [string, number]>): Buffer {
  const parts: Buffer[] = [];
  for (const [conversation, sequence] of marks)
    parts.push(
      new Out(80)
        .bytes(2, new Out(64).text(1, conversation).number(2, epoch).number(3, sequence).done())
        .done(),
    );
  const report = Buffer.concat(parts);
  return delimited(new Out(report.length + 16).bytes(5, report).done());
}

/** A unary method as a frame. */
export function callFrame(id: number, method: string, request: Buffer): Buffer {
  const call = new Out(request.length + 80).text(1, method).bytes(2, request).done();
  return delimited(new Out(call.length + 24).number(1, id).bytes(4, call).done());
}

export function focusFrame(conversations: readonly string[]): Buffer {
  const focus = new Out(40 * conversations.length + 8);
  for (const conversation of conversations) focus.text(1, conversation);
  const body = focus.done();
  return delimited(new Out(body.length + 16).bytes(7, body).done());
}

/** A client's `pong`, which it must answer to the server's ping. */
export const PONG: Buffer = delimited(new Out(8).bytes(10, Buffer.alloc(0)).done());

export function listMessagesRequest(conversation: string, limit: number): Buffer {
  return new Out(64).text(1, conversation).number(6, limit).done();
}

export function listConversationsRequest(question: {
  readonly pageSize: number;
  readonly pageToken: string;
  readonly since: string;
}): Buffer {
  const { pageSize, pageToken, since } = question;
  const out = new Out(since.length + pageToken.length + 32);
  return out.text(1, since).number(3, pageSize).text(4, pageToken).done();
}

/** Walks the fields of a protobuf message without building anything. */
export class In {
  field = 0;
  wire = 0;
  /** Value of a varint field, or the start of a length-delimited one. */
  value = 0;
  /** End of a length-delimited field. */
  until = 0;
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  next(): boolean {
    if (this.#at >= this.#end) return false;
    const tag = this.#varint();
    this.field = Math.floor(tag / 8);
    this.wire = tag % 8;
    if (this.wire === 0) this.value = this.#varint();
    else if (this.wire === 2) {
      const length = this.#varint();
      this.value = this.#at;
      this.until = this.#at + length;
      this.#at = this.until;
    } else throw new TypeError(`wire type ${this.wire}`);
    return true;
  }

  /** Splits varint-delimited frames: `value` and `until` then bound one frame. */
  nextDelimited(): boolean {
    if (this.#at >= this.#end) return false;
    const length = this.#varint();
    this.value = this.#at;
    this.until = this.#at + length;
    this.#at = this.until;
    return true;
  }

  inside(): In {
    return new In(this.#bytes, this.value, this.until);
  }

  text(): string {
    return this.#bytes.toString('latin1', this.value, this.until);
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes[this.#at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  }
}

/** Numbers of ServerFrame's fields. */
export const SERVER = {
  id: 1,
  ready: 2,
  commit: 3,
  result: 4,
  error: 5,
  rows: 6,
  heads: 7,
  conversations: 8,
  receipts: 9,
  caughtUp: 14,
  gap: 15,
  close: 19,
  ping: 20,
} as const;
