/**
 * The contract's two encodings of one shape. A plain object holds a message as CONTRACT §1 shows it:
 * 64-bit integers are numbers, bytes are Uint8Array, absent scalars have their default, absent
 * messages are undefined. `codecOf` turns a protobuf descriptor into functions between that shape,
 * protobuf bytes and JSON values; the wire primitives are protobuf-es's.
 */
import { ScalarType, type DescField, type DescMessage, type Message } from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { DecodeError } from './decode-error.ts';
import type { JsonObject, JsonValue } from './json-value.ts';
import { INLINE, readText, type Scalar, scalar } from './scalars.ts';

/** A generated message type in plain shape. Messages inside may be given pre-encoded on `encode`. */
export type Plain<T> = T extends bigint
  ? number
  : T extends Uint8Array
    ? Uint8Array
    : T extends readonly (infer Item)[]
      ? Plain<Item>[]
      : T extends object
        ? { [K in keyof T as K extends '$typeName' | '$unknown' ? never : K]: Plain<T[K]> }
        : T;

/** As `Plain`, with every field optional and messages also as their own protobuf bytes. */
export type Sparse<T> = T extends bigint
  ? number
  : T extends Uint8Array
    ? Uint8Array
    : T extends readonly (infer Item)[]
      ? readonly Sparse<Item>[]
      : T extends object
        ?
            | {
                readonly [K in keyof T as K extends '$typeName' | '$unknown' ? never : K]?:
                  | Sparse<T[K]>
                  | undefined;
              }
            | Uint8Array
        : T;

/** `Sparse` without the choice of giving it encoded: what one builds and spreads. */
export type Fields<T> = Exclude<Sparse<T>, Uint8Array>;

/** A message of which only the outermost is read: those inside are their own protobuf bytes. */
export type Opened<T> = {
  [K in keyof T as K extends '$typeName' | '$unknown' ? never : K]: OpenedField<T[K]>;
};

type OpenedField<V> = V extends Uint8Array
  ? Uint8Array
  : V extends readonly (infer Item)[]
    ? OpenedField<Item>[]
    : V extends object
      ? Uint8Array
      : Plain<V>;

export interface Codec<T> {
  readonly typeName: string;
  /** Reads a JSON value. Unknown keys are refused; null counts as absent. */
  fromJson(value: unknown, path?: string): Plain<T>;
  /** The JSON value: defaults are left out. */
  toJson(message: Sparse<T>): JsonObject;
  /** Reads protobuf bytes. Unknown fields are refused. */
  decode(bytes: Uint8Array, path?: string): Plain<T>;
  /** As `decode`, of the outermost message: those inside stay views of `bytes`, and are not judged. */
  open(bytes: Uint8Array): Opened<T>;
  encode(message: Sparse<T>): Uint8Array;
}

/** `bytes` in protobuf, a JSON value of its own in JSON: a request or response within a frame. */
const INLINE_JSON: ReadonlySet<string> = new Set([
  'parley.client.v1.Call.request',
  'parley.client.v1.Result.response',
]);
const DEPTH_MAX = 24;

type Shape = Record<string, unknown>;

interface Field {
  readonly name: string;
  readonly number: number;
  readonly fallback: () => unknown;
  readonly fromJson: (value: unknown, path: string, depth: number) => unknown;
  /** undefined = leave it out. */
  readonly toJson: (value: unknown) => JsonValue | undefined;
  readonly wire: WireType;
  readonly decode: (reader: BinaryReader, before: unknown, path: string, depth: number) => unknown;
  /** Of messages: leaves what is inside as it is. */
  readonly open?: (reader: BinaryReader, before: unknown) => unknown;
  /** Lists of numbers may come packed. */
  readonly decodePacked?: (reader: BinaryReader, before: unknown, path: string) => unknown;
  readonly encode: (writer: BinaryWriter, value: unknown) => void;
}

const codecs = new Map<string, MessageCodec>();

/** The codec of a generated message descriptor. Made once per type. */
export function codecOf<T extends Message>(desc: GenMessage<T>): Codec<T> {
  return codecFor(desc) as unknown as Codec<T>;
}

function codecFor(desc: DescMessage): MessageCodec {
  const known = codecs.get(desc.typeName);
  if (known !== undefined) return known;
  const made = new MessageCodec(desc);
  codecs.set(desc.typeName, made);
  return made;
}

class MessageCodec {
  readonly typeName: string;
  readonly #desc: DescMessage;
  #fields: readonly Field[] | undefined;
  readonly #byNumber = new Map<number, Field>();
  readonly #byName = new Map<string, Field>();

  constructor(desc: DescMessage) {
    this.#desc = desc;
    this.typeName = desc.typeName;
  }

  fromJson(value: unknown, path = '', depth = 0): Shape {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new DecodeError('malformed', path);
    if (depth > DEPTH_MAX) throw new DecodeError('malformed', path);
    const message = this.#blank();
    for (const [key, item] of Object.entries(value)) {
      const field = this.#byName.get(key);
      const at = path === '' ? key : `${path}.${key}`;
      if (field === undefined) throw new DecodeError('unknown-field', at);
      if (item !== null && item !== undefined)
        message[field.name] = field.fromJson(item, at, depth + 1);
    }
    return message;
  }

  toJson(message: Shape | Uint8Array): JsonObject {
    const shape = message instanceof Uint8Array ? this.decode(message) : message;
    const out: Record<string, JsonValue> = {};
    for (const field of this.#compiled()) {
      const value = shape[field.name];
      if (value === undefined) continue;
      const json = field.toJson(value);
      if (json !== undefined) out[field.name] = json;
    }
    return out;
  }

  open(bytes: Uint8Array): Shape {
    return this.decode(bytes, '', 0, true);
  }

  decode(bytes: Uint8Array, path = '', depth = 0, isOpened = false): Shape {
    if (depth > DEPTH_MAX) throw new DecodeError('malformed', path);
    const message = this.#blank();
    const reader = new BinaryReader(bytes);
    try {
      while (reader.pos < reader.len) {
        const [number, wire] = reader.tag();
        const field = this.#byNumber.get(number);
        if (field === undefined)
          throw new DecodeError('unknown-field', path === '' ? `#${number}` : `${path}.#${number}`);
        const at = path === '' ? field.name : `${path}.${field.name}`;
        const before = message[field.name];
        if (isOpened && field.open !== undefined && wire === field.wire)
          message[field.name] = field.open(reader, before);
        else if (wire === field.wire)
          message[field.name] = field.decode(reader, before, at, depth + 1);
        else if (field.decodePacked !== undefined && wire === WireType.LengthDelimited)
          message[field.name] = field.decodePacked(reader, before, at);
        else throw new DecodeError('malformed', at);
      }
    } catch (error) {
      if (error instanceof DecodeError) throw error;
      throw new DecodeError('malformed', path);
    }
    return message;
  }

  encode(message: Shape | Uint8Array): Uint8Array {
    if (message instanceof Uint8Array) return message;
    const writer = new BinaryWriter();
    this.write(writer, message);
    return writer.finish();
  }

  write(writer: BinaryWriter, message: Shape): void {
    for (const field of this.#compiled()) {
      const value = message[field.name];
      if (value !== undefined) field.encode(writer, value);
    }
  }

  #compiled(): readonly Field[] {
    if (this.#fields === undefined) {
      this.#fields = this.#desc.fields.map(compileField);
      for (const field of this.#fields) {
        this.#byNumber.set(field.number, field);
        this.#byName.set(field.name, field);
      }
    }
    return this.#fields;
  }

  #blank(): Shape {
    const message: Shape = {};
    for (const field of this.#compiled()) message[field.name] = field.fallback();
    return message;
  }
}

function compileField(desc: DescField): Field {
  const name = desc.jsonName;
  const number = desc.number;
  switch (desc.fieldKind) {
    case 'scalar': {
      const inline = INLINE_JSON.has(`${desc.parent.typeName}.${desc.name}`);
      return scalarField(
        name,
        number,
        inline ? INLINE : scalar(desc.scalar),
        desc.proto.proto3Optional === true,
      );
    }
    case 'message':
      return messageField(name, number, desc.message);
    case 'list':
      return desc.listKind === 'message'
        ? messageListField(name, number, desc.message)
        : scalarListField(
            name,
            number,
            scalar(desc.listKind === 'scalar' ? desc.scalar : ScalarType.INT32),
          );
    case 'map':
      return mapField(name, number);
    default:
      throw new DecodeError(
        'malformed',
        `${desc.parent.typeName}.${name}: the contract has no enums`,
      );
  }
}

function scalarField(name: string, number: number, kind: Scalar, optional: boolean): Field {
  const absent = (value: unknown): boolean => !optional && kind.isZero(value);
  return {
    name,
    number,
    fallback: () => (optional ? undefined : kind.zero),
    fromJson: (value, path) => kind.fromJson(value, path),
    toJson: (value) => (absent(value) ? undefined : kind.toJson(value)),
    wire: kind.wire,
    decode: (reader, _before, path) => kind.read(reader, path),
    encode: (writer, value) => {
      if (absent(value)) return;
      writer.tag(number, kind.wire);
      kind.write(writer, value);
    },
  };
}

function messageField(name: string, number: number, desc: DescMessage): Field {
  const codec = codecFor(desc);
  return {
    name,
    number,
    fallback: () => undefined,
    fromJson: (value, path, depth) => codec.fromJson(value, path, depth),
    toJson: (value) => codec.toJson(value as Shape),
    wire: WireType.LengthDelimited,
    decode: (reader, _before, path, depth) => codec.decode(reader.bytes(), path, depth),
    open: (reader) => reader.bytes(),
    encode: (writer, value) => writeMessage(writer, number, codec, value),
  };
}

function writeMessage(
  writer: BinaryWriter,
  number: number,
  codec: MessageCodec,
  value: unknown,
): void {
  writer.tag(number, WireType.LengthDelimited);
  if (value instanceof Uint8Array) {
    writer.bytes(value);
    return;
  }
  writer.fork();
  codec.write(writer, value as Shape);
  writer.join();
}

function messageListField(name: string, number: number, desc: DescMessage): Field {
  const codec = codecFor(desc);
  return {
    name,
    number,
    fallback: () => [],
    fromJson: (value, path, depth) =>
      jsonList(value, path).map((item, i) => codec.fromJson(item, `${path}[${i}]`, depth)),
    toJson: (value) => nonEmpty((value as Shape[]).map((item) => codec.toJson(item))),
    wire: WireType.LengthDelimited,
    decode: (reader, before, path, depth) => {
      const list = before as Shape[];
      list.push(codec.decode(reader.bytes(), `${path}[${list.length}]`, depth));
      return list;
    },
    open: (reader, before) => {
      (before as Uint8Array[]).push(reader.bytes());
      return before;
    },
    encode: (writer, value) => {
      for (const item of value as unknown[]) writeMessage(writer, number, codec, item);
    },
  };
}

function scalarListField(name: string, number: number, kind: Scalar): Field {
  const packable = kind.wire !== WireType.LengthDelimited;
  return {
    name,
    number,
    fallback: () => [],
    // A single value stands for a list of one, so that a GET can name it once.
    fromJson: (value, path) =>
      jsonList(value, path).map((item, i) => kind.fromJson(item, `${path}[${i}]`)),
    toJson: (value) => nonEmpty((value as unknown[]).map((item) => kind.toJson(item))),
    wire: kind.wire,
    decode: (reader, before, path) => {
      const list = before as unknown[];
      list.push(kind.read(reader, path));
      return list;
    },
    ...(packable
      ? {
          decodePacked: (reader, before, path) =>
            readPacked(reader, before as unknown[], kind, path),
        }
      : {}),
    encode: (writer, value) => {
      const list = value as unknown[];
      if (list.length === 0) return;
      if (!packable) {
        for (const item of list) kind.write(writer.tag(number, kind.wire), item);
        return;
      }
      writer.tag(number, WireType.LengthDelimited).fork();
      for (const item of list) kind.write(writer, item);
      writer.join();
    },
  };
}

function readPacked(reader: BinaryReader, list: unknown[], kind: Scalar, path: string): unknown[] {
  const length = reader.uint32();
  const end = reader.pos + length;
  while (reader.pos < end) list.push(kind.read(reader, path));
  return list;
}

/** Maps are string to string in this contract (error metadata). */
function mapField(name: string, number: number): Field {
  return {
    name,
    number,
    fallback: () => ({}),
    fromJson: (value, path) => {
      if (typeof value !== 'object' || value === null || Array.isArray(value))
        throw new DecodeError('bad-field', path);
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, String(item)]));
    },
    toJson: (value) =>
      Object.keys(value as object).length === 0 ? undefined : (value as JsonObject),
    wire: WireType.LengthDelimited,
    decode: (reader, before, path) => {
      const inner = new BinaryReader(reader.bytes());
      const entry = { key: '', value: '' };
      while (inner.pos < inner.len) {
        const [part] = inner.tag();
        if (part === 1) entry.key = readText(inner, path);
        else if (part === 2) entry.value = readText(inner, path);
        else throw new DecodeError('unknown-field', path);
      }
      return { ...(before as object), [entry.key]: entry.value };
    },
    encode: (writer, value) => {
      for (const [key, item] of Object.entries(value as Record<string, string>)) {
        writer.tag(number, WireType.LengthDelimited).fork();
        writer.tag(1, WireType.LengthDelimited).string(key);
        writer.tag(2, WireType.LengthDelimited).string(item);
        writer.join();
      }
    },
  };
}

function jsonList(value: unknown, path: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value === 'object') throw new DecodeError('bad-field', path);
  return [value];
}

function nonEmpty(list: readonly JsonValue[]): readonly JsonValue[] | undefined {
  return list.length === 0 ? undefined : list;
}
