/** What every Disk must do, as cases that a test file runs: the real one and the modelled alike. */
import assert from 'node:assert/strict';
import { ParleyError } from '../core/errors.ts';
import { InvariantViolation } from '../core/invariant.ts';
import type { Disk } from './contract.ts';
import type { ContractCase } from './state-store-contract.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

/** Of the pieces of a preparation: none is larger. */
export const piecesOf =
  (most: number) =>
  (left: number): Promise<number> =>
    Promise.resolve(Math.min(left, most));

function contents(disk: Disk, path: string): string {
  const file = disk.open(path);
  const content = new Uint8Array(file.size());
  assert.equal(file.read(0, content), content.length);
  file.close();
  return Buffer.from(content).toString('latin1');
}

function create(disk: Disk, path: string, content: string): void {
  const file = disk.open(path, { create: true });
  file.write(0, [bytes(content)]);
  file.sync();
  file.close();
}

const hasCode = (code: string) => (error: unknown) =>
  error instanceof ParleyError &&
  error.reason === 'BACKEND_UNAVAILABLE' &&
  error.details['code'] === code;

type CaseBody = (disk: Disk) => void | Promise<void>;

const CASES: Readonly<Record<string, CaseBody>> = {
  'a file holds what was written, wherever it was written': (disk) => {
    disk.makeDirectory('d');
    const file = disk.open('d/f', { create: true });
    file.write(4, [bytes('ab'), bytes(''), bytes('cd')]);
    file.write(0, [bytes('1234')]);
    file.write(6, [bytes('C')]);
    assert.equal(file.size(), 8);
    file.sync();
    file.close();
    disk.syncDirectory('d');
    assert.equal(contents(disk, 'd/f'), '1234abCd');
    assert.equal(disk.sizeOf('d/f'), 8);
  },

  'a gap reads as zeros, and reading past the end gives what there is': (disk) => {
    disk.makeDirectory('d');
    const file = disk.open('d/f', { create: true });
    file.write(3, [bytes('x')]);
    const content = new Uint8Array(8).fill(7);
    assert.equal(file.read(0, content), 4);
    assert.deepEqual([...content], [0, 0, 0, 120, 7, 7, 7, 7]);
    assert.equal(file.read(4, content), 0);
    file.close();
  },

  'truncate shortens and lengthens': (disk) => {
    disk.makeDirectory('d');
    create(disk, 'd/f', 'abcdef');
    const file = disk.open('d/f');
    file.truncate(2);
    assert.equal(file.size(), 2);
    file.truncate(4);
    file.sync();
    file.close();
    assert.equal(contents(disk, 'd/f'), 'ab\0\0');
  },

  'missing files and files that exist already are told apart': (disk) => {
    disk.makeDirectory('d');
    assert.throws(() => disk.open('d/f'), hasCode('ENOENT'));
    create(disk, 'd/f', 'x');
    assert.throws(() => disk.open('d/f', { create: true }), hasCode('EEXIST'));
    assert.equal(disk.sizeOf('d/none'), undefined);
    assert.throws(() => disk.rename('d/none', 'd/other'), hasCode('ENOENT'));
    disk.remove('d/none');
  },

  'names are listed in order, renamed over others and removed': (disk) => {
    disk.makeDirectory('d/e');
    assert.deepEqual(disk.list('nowhere'), []);
    for (const name of ['c', 'a', 'b']) create(disk, `d/e/${name}`, name);
    assert.deepEqual(disk.list('d/e'), ['a', 'b', 'c']);
    disk.rename('d/e/c', 'd/e/a');
    disk.remove('d/e/b');
    disk.syncDirectory('d/e');
    assert.deepEqual(disk.list('d/e'), ['a']);
    assert.equal(contents(disk, 'd/e/a'), 'c');
  },

  'a handle outlives the renaming of its file': (disk) => {
    disk.makeDirectory('d');
    const file = disk.open('d/old', { create: true });
    file.write(0, [bytes('1')]);
    disk.rename('d/old', 'd/new');
    file.write(1, [bytes('2')]);
    file.sync();
    file.close();
    assert.equal(contents(disk, 'd/new'), '12');
  },

  'what is discarded goes, and a missing file is no error': async (disk) => {
    disk.makeDirectory('d');
    for (const name of ['a', 'b', 'c']) create(disk, `d/${name}`, 'content');
    void disk.discard('d/a');
    void disk.discard('d/none');
    await disk.discard('d/b');
    assert.deepEqual(disk.list('d'), ['c']);
    create(disk, 'd/a', 'again');
    assert.equal(contents(disk, 'd/a'), 'again');
  },

  'a prepared file is all zeros, and replaces what was there': async (disk) => {
    disk.makeDirectory('d');
    create(disk, 'd/f', 'content');
    await disk.prepare('d/f', 3_000_000, piecesOf(1_300_000));
    assert.equal(disk.sizeOf('d/f'), 3_000_000);
    const file = disk.open('d/f');
    const content = new Uint8Array(3_000_000).fill(1);
    file.read(0, content);
    assert.ok(content.every((byte) => byte === 0));
    file.close();
    assert.deepEqual(disk.list('d'), ['f']);
  },

  'there is space, and no more than in all': (disk) => {
    const { freeBytes, totalBytes } = disk.space();
    assert.ok(freeBytes > 0 && freeBytes <= totalBytes);
  },

  'a closed file is never touched again': (disk) => {
    disk.makeDirectory('d');
    create(disk, 'd/f', 'x');
    const file = disk.open('d/f');
    file.close();
    assert.throws(() => file.write(0, [bytes('y')]), InvariantViolation);
    assert.throws(() => file.sync(), InvariantViolation);
    assert.throws(() => file.close(), InvariantViolation);
  },
};

export function diskCases(
  withDisk: (body: (disk: Disk) => void | Promise<void>) => Promise<void>,
): ContractCase[] {
  return Object.entries(CASES).map(([title, body]) => ({ title, run: () => withDisk(body) }));
}
