/** The scalar kinds of the contract in both encodings. */
import { isUtf8 } from 'node:buffer';
import { ScalarType } from '@bufbuild/protobuf';
import { type BinaryReader, type BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { DecodeError } from './decode-error.ts';
import type { JsonValue } from './json-value.ts';

export interface Scalar {
  readonly wire: WireType;
  readonly zero: unknown;
  readonly fromJson: (value: unknown, path: string) => unknown;
  readonly toJson: (value: unknown) => JsonValue;
  readonly read: (reader: BinaryReader, path: string) => unknown;
  readonly write: (writer: BinaryWriter, value: unknown) => void;
  readonly isZero: (value: unknown) => boolean;
}

export function scalar(type: ScalarType): Scalar {
  switch (type) {
    case ScalarType.STRING:
      return TEXT;
    case ScalarType.BOOL:
      return FLAG;
    case ScalarType.BYTES:
      return BYTES;
    case ScalarType.INT32:
      return INT32;
    case ScalarType.INT64:
      return INT64;
    default:
      throw new DecodeError('malformed', `scalar type ${type} is not used by the contract`);
  }
}

export function readText(reader: BinaryReader, path: string): string {
  const bytes = reader.bytes();
  if (!isUtf8(bytes)) throw new DecodeError('bad-text', path);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}

const TEXT: Scalar = {
  wire: WireType.LengthDelimited,
  zero: '',
  fromJson: (value, path) => {
    if (typeof value !== 'string') throw new DecodeError('bad-field', path);
    return value;
  },
  toJson: (value) => value as string,
  read: readText,
  write: (writer, value) => writer.string(value as string),
  isZero: (value) => value === '',
};

const FLAG: Scalar = {
  wire: WireType.Varint,
  zero: false,
  fromJson: (value, path) => {
    if (value === true || value === 'true') return true;
    if (value === false || value === 'false') return false;
    throw new DecodeError('bad-field', path);
  },
  toJson: (value) => value as boolean,
  read: (reader) => reader.bool(),
  write: (writer, value) => writer.bool(value as boolean),
  isZero: (value) => value === false,
};

const BYTES: Scalar = {
  wire: WireType.LengthDelimited,
  zero: new Uint8Array(0),
  fromJson: (value, path) => {
    if (typeof value !== 'string' || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value))
      throw new DecodeError('bad-field', path);
    return Uint8Array.from(Buffer.from(value, 'base64'));
  },
  toJson: (value) => Buffer.from(value as Uint8Array).toString('base64'),
  read: (reader) => reader.bytes(),
  write: (writer, value) => writer.bytes(value as Uint8Array),
  isZero: (value) => (value as Uint8Array).length === 0,
};

function jsonInteger(value: unknown, path: string, min: number, max: number): number {
  const number = typeof value === 'string' && /^-?[0-9]{1,16}$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number) || number < min || number > max)
    throw new DecodeError('bad-field', path);
  return number;
}

const INT32: Scalar = {
  wire: WireType.Varint,
  zero: 0,
  fromJson: (value, path) => jsonInteger(value, path, -(2 ** 31), 2 ** 31 - 1),
  toJson: (value) => value as number,
  read: (reader) => reader.int32(),
  write: (writer, value) => writer.int32(value as number),
  isZero: (value) => value === 0,
};

const INT64: Scalar = {
  wire: WireType.Varint,
  zero: 0,
  fromJson: (value, path) =>
    jsonInteger(value, path, -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  toJson: (value) => value as number,
  read: (reader, path) => {
    const value = Number(reader.int64());
    if (!Number.isSafeInteger(value)) throw new DecodeError('bad-field', path);
    return value;
  },
  // A varint of a small unsigned number is the same bytes in both widths, and needs no bigint.
  write: (writer, value) =>
    (value as number) >= 0 && (value as number) < 2 ** 32
      ? writer.uint32(value as number)
      : writer.int64(value as number),
  isZero: (value) => value === 0,
};

/** `bytes` in protobuf, a JSON value of its own in JSON. */
export const INLINE: Scalar = {
  wire: WireType.LengthDelimited,
  zero: new Uint8Array(0),
  fromJson: (value) => value,
  toJson: (value) => value as JsonValue,
  read: (reader) => reader.bytes(),
  write: (writer, value) => writer.bytes(value as Uint8Array),
  isZero: (value) => value instanceof Uint8Array && value.length === 0,
};
