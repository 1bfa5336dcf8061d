import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'mocha';
import { hex } from '../core/bytes.ts';
import { ParleyError } from '../core/errors.ts';
import { ENVELOPE_BYTES, Opener, Sealer } from './envelope.ts';
import { fingerprintOf, formatKey, openKeyFile } from './key-file.ts';
import { KeyRing, WRAPPED_KEY_BYTES, isNewDataDirectory, unwrapKey, wrapKey } from './key-ring.ts';
import { MemoryDisk } from './memory-disk.ts';
import { TEST_KEYS, seededRandom, testDataKey, testKek } from './testing.ts';

const GOLDEN_KEY_SUM = 'a8210e2e';
const GOLDEN_FINGERPRINT = 'e5b4975bcdbd9eb7';
const GOLDEN_WRAPPED =
  '504b593101020000020100000068e5cf8b010000' + // magic, version, purpose, number, created
  'e5b4975bcdbd9eb7' + // fingerprint of the key-encryption key
  '000102030405060708090a0b' + // nonce
  '4703d418c1e0c41c85489d80bde4766293c79527e46e496b207eff9e01741ead' + // wrapped key
  'fbc6e82938f6e2fe0c171d5f4a7f9db3' + // tag
  'ae033cf7'; // crc32
const GOLDEN_ENVELOPE =
  '0104030201' + // version, number of the data key
  '01000000000000' + // counter
  '1e85b1bb3204464e48319ae725b9ed8b' + // tag
  '8bd6ab1fba'; // ciphertext

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
const counting = (count: number): Uint8Array => Uint8Array.from({ length: count }, (_, i) => i);
const hasProblem =
  (problem: string, ...words: string[]) =>
  (error: unknown): boolean =>
    error instanceof ParleyError &&
    error.details['problem'] === problem &&
    words.every((word) => error.message.includes(word));

function withDirectory(body: (directory: string) => void): void {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'parley-keys-'));
  try {
    body(directory);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

describe('key file (R112)', () => {
  const random = seededRandom(3);

  it('is made beside a new data directory, readable by its owner only, and found again', () =>
    withDirectory((directory) => {
      const file = path.join(directory, 'deeper', 'data.key');
      const made = openKeyFile(file, { isDataDirectoryNew: true, random });
      assert.equal(made.created, true);
      assert.equal(fs.statSync(file).mode & 0o777, 0o600);
      const found = openKeyFile(file, { isDataDirectoryNew: false, random });
      assert.equal(found.created, false);
      assert.deepEqual(found.secret, made.secret);
      assert.deepEqual(fs.readdirSync(path.dirname(file)), ['data.key']);
    }));

  it('is not made beside an old data directory', () =>
    withDirectory((directory) => {
      const file = path.join(directory, 'data.key');
      assert.throws(
        () => openKeyFile(file, { isDataDirectoryNew: false, random }),
        hasProblem('key_missing', file, 'PARLEY_KEY_FILE'),
      );
      assert.equal(fs.existsSync(file), false);
    }));

  it('has golden bytes', () => {
    const line = 'parley-key-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8:';
    assert.equal(formatKey(counting(32)).slice(0, line.length), line);
    assert.equal(formatKey(counting(32)), `${line}${GOLDEN_KEY_SUM}\n`);
    assert.equal(hex(fingerprintOf(counting(32))), GOLDEN_FINGERPRINT);
  });

  it('that lost or changed a character is refused by name', () =>
    withDirectory((directory) => {
      const file = path.join(directory, 'data.key');
      const good = formatKey(counting(32));
      for (const bad of ['', 'hello', good.slice(1), good.replace('AAEC', 'AAED'), `${good}x`]) {
        fs.writeFileSync(file, bad);
        assert.throws(
          () => openKeyFile(file, { isDataDirectoryNew: true, random }),
          hasProblem('key_damaged', file),
        );
      }
      fs.writeFileSync(file, good.trimEnd());
      assert.deepEqual(
        openKeyFile(file, { isDataDirectoryNew: false, random }).secret,
        counting(32),
      );
    }));

  it('that cannot be read says why', () =>
    withDirectory((directory) => {
      assert.throws(
        () => openKeyFile(directory, { isDataDirectoryNew: true, random }),
        hasProblem('io', directory, 'EISDIR'),
      );
    }));
});

describe('key ring (R112)', () => {
  const open = (disk: MemoryDisk, kek = testKek()): KeyRing => {
    const ring = new KeyRing(disk, kek, seededRandom(11));
    ring.open();
    return ring;
  };

  it('every start makes its own data keys; older ones stay readable', () => {
    const disk = new MemoryDisk({ random: seededRandom(1) });
    assert.equal(isNewDataDirectory(disk), true);
    const first = open(disk);
    const wal = first.create('wal', 5);
    const state = first.create('state', 5);
    assert.deepEqual([wal.number, state.number], [1, 1]);
    assert.equal(isNewDataDirectory(disk), false);
    disk.crash();
    const second = open(disk);
    assert.equal(second.create('wal', 6).number, 2);
    assert.deepEqual(second.find('wal', 1)?.secret, wal.secret);
    assert.deepEqual(second.find('state', 1)?.secret, state.secret);
    assert.equal(second.find('state', 2), undefined);
  });

  it('a key is durable before it is handed out', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const disk = new MemoryDisk({ random: seededRandom(seed) });
      const key = open(disk).create('state', 5);
      disk.crash();
      assert.deepEqual(open(disk).find('state', 1)?.secret, key.secret);
    }
  });

  it('keys that seal nothing any more are removed, of their purpose only', () => {
    const disk = new MemoryDisk({ random: seededRandom(1) });
    const ring = open(disk);
    for (let i = 0; i < 3; i++) ring.create('wal', 5);
    ring.create('state', 5);
    ring.retain('wal', new Set([3]));
    assert.deepEqual(disk.list('keys'), ['00000001.state.key', '00000003.wal.key']);
    assert.equal(open(disk).find('wal', 1), undefined);
  });

  it('the wrong key-encryption key is told apart from damage, and names its file', () => {
    const disk = new MemoryDisk({ random: seededRandom(1) });
    open(disk).create('wal', 5);
    const wrong = { ...testKek(8), path: '/somewhere/wrong.key' };
    assert.throws(() => open(disk, wrong), hasProblem('key_wrong', '/somewhere/wrong.key'));
  });

  it('no flipped bit in a wrapped key goes unseen', () => {
    const kek = testKek();
    const wrapped = wrapKey(testDataKey('wal', 1), kek, 5, counting(12));
    for (let at = 0; at < wrapped.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const wrong = wrapped.slice();
        wrong[at] = (wrong[at] ?? 0) ^ (1 << bit);
        assert.throws(() => unwrapKey(wrong, kek, 'x'), ParleyError, `byte ${at}`);
      }
    }
    assert.throws(() => unwrapKey(wrapped.subarray(1), kek, 'x'), hasProblem('key_damaged'));
  });

  it('a wrapped key under another name is refused', () => {
    const disk = new MemoryDisk({ random: seededRandom(1) });
    open(disk).create('wal', 5);
    disk.rename('keys/00000001.wal.key', 'keys/00000002.wal.key');
    assert.throws(() => open(disk), hasProblem('key_damaged', '00000002.wal.key'));
  });

  it('wrapped keys have golden bytes', () => {
    const kek = { path: 'x', secret: counting(32), created: false };
    const key = { purpose: 'state', number: 258, secret: counting(32) } as const;
    const wrapped = wrapKey(key, kek, 1_700_000_000_000, counting(12));
    assert.equal(wrapped.length, WRAPPED_KEY_BYTES);
    assert.equal(
      hex(wrapped.subarray(0, 20)),
      '504b5931' + '01020000' + '02010000' + '0068e5cf8b010000',
    );
    assert.equal(hex(wrapped), GOLDEN_WRAPPED);
    assert.deepEqual(unwrapKey(wrapped, kek, 'x'), key);
  });
});

describe('envelope', () => {
  const key = bytes('hkey');
  const sealerOf = (number: number): Sealer => new Sealer(testDataKey('state', number));

  it('gives back what was sealed under the same key, with keys of all starts', () => {
    const opener = new Opener(TEST_KEYS);
    for (const number of [1, 2, 2 ** 31]) {
      const sealed = sealerOf(number).seal(key, bytes('value'));
      assert.equal(sealed.length, ENVELOPE_BYTES + 5);
      assert.deepEqual(Uint8Array.from(opener.open(key, sealed) ?? []), bytes('value'));
    }
    const empty = sealerOf(1).seal(key, bytes(''));
    assert.equal(opener.open(key, empty)?.length, 0);
    const sealer = sealerOf(1);
    for (const length of [10, 65_536, 1_000_000, 10]) {
      const value = new Uint8Array(length).fill(length & 255);
      assert.deepEqual(Uint8Array.from(opener.open(key, sealer.seal(key, value)) ?? []), value);
    }
  });

  it('no flipped bit, no cut and no other key goes unseen', () => {
    const opener = new Opener({ find: (_, n) => (n <= 2 ? testDataKey('state', n) : undefined) });
    const sealed = sealerOf(1).seal(key, bytes('some value'));
    for (let at = 0; at < sealed.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const wrong = sealed.slice();
        wrong[at] = (wrong[at] ?? 0) ^ (1 << bit);
        assert.equal(opener.open(key, wrong), undefined, `byte ${at}`);
      }
    }
    for (let end = 0; end < sealed.length; end++)
      assert.equal(opener.open(key, sealed.subarray(0, end)), undefined);
    assert.equal(opener.open(bytes('hkez'), sealed), undefined);
  });

  it('never uses a nonce twice', () => {
    const sealer = sealerOf(1);
    const nonces = new Set<string>();
    for (let i = 0; i < 1000; i++) nonces.add(hex(sealer.seal(key, key).subarray(0, 12)));
    assert.equal(nonces.size, 1000);
  });

  it('has golden bytes', () => {
    const sealer = new Sealer({ purpose: 'state', number: 0x01020304, secret: counting(32) });
    sealer.seal(key, key);
    assert.equal(hex(sealer.seal(key, bytes('value'))), GOLDEN_ENVELOPE);
  });
});
