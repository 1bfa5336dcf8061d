import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'mocha';
import { buildInterposer } from '../power-cut.ts';

describe('the power-cut interposer', () => {
  const work = mkdtempSync(join(tmpdir(), 'parley-cut-'));
  const root = join(work, 'data');
  mkdirSync(root);
  after(() => rmSync(work, { recursive: true, force: true }));
  const interposer = buildInterposer(root, work);
  const run = (script: string): void => {
    execFileSync(process.execPath, argumentsFor(script), { env });
  };
  const start = (script: string): ChildProcessWithoutNullStreams =>
    spawn(process.execPath, argumentsFor(script), { env });
  const argumentsFor = (script: string): string[] => [
    '-e',
    `const fs=require('fs');process.chdir(${JSON.stringify(root)});${script}`,
  ];
  const env = { ...process.env, ...interposer.env };
  const lose = (): number => 0;

  it('keeps what was synced and loses what was not, appended or written over', () => {
    writeFileSync(join(root, 'over'), 'old old old');
    run(`const a=fs.openSync('log','w');fs.writeSync(a,'synced');fs.fdatasyncSync(a);fs.writeSync(a,'lost');
      const b=fs.openSync('over','r+');fs.writevSync(b,[Buffer.from('NEW')],4);`);
    assert.equal(readFileSync(join(root, 'log'), 'utf8'), 'syncedlost');
    const report = interposer.cut(lose);
    assert.deepEqual(report, { writes: 3, unsynced: 2, lost: 2, torn: 0 });
    assert.equal(readFileSync(join(root, 'log'), 'utf8'), 'synced');
    assert.equal(readFileSync(join(root, 'over'), 'utf8'), 'old old old');
  });
  it('may keep a later write and lose an earlier one: a hole', () => {
    run(
      `const a=fs.openSync('hole','w');fs.writeSync(a,'x'.repeat(600),0);fs.writeSync(a,'y'.repeat(600),600);`,
    );
    const fates = [0.1, 0.9];
    interposer.cut(() => fates.shift() ?? 0);
    assert.deepEqual(
      readFileSync(join(root, 'hole')),
      Buffer.concat([Buffer.alloc(600), Buffer.from('y'.repeat(600))]),
    );
  });
  it('loses at least one write, and lets no sync return while the disk is held', async () => {
    run(`const a=fs.openSync('log','w');fs.writeSync(a,'kept');`);
    assert.equal(interposer.cut(() => 0.9).lost, 1);
    interposer.holdSyncs();
    const held = start(`const a=fs.openSync('held','w');fs.writeSync(a,'lost');
      process.stdout.write('.');fs.fdatasyncSync(a);process.stdout.write('synced');`);
    let said = '';
    held.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    await once(held.stdout, 'data');
    await new Promise((done) => setTimeout(done, 100));
    held.kill('SIGKILL');
    await once(held, 'close');
    assert.equal(said, '.');
    assert.equal(interposer.cut(lose).lost, 1);
    run(`const a=fs.openSync('held','w');fs.writeSync(a,'kept');fs.fdatasyncSync(a);`);
    assert.equal(interposer.cut(lose).lost, 0);
  });
  it('counts a sync by another process, and touches nothing outside its root', () => {
    const outside = join(work, 'outside');
    run(
      `const a=fs.openSync('both','w');fs.writeSync(a,'kept');fs.writeFileSync(${JSON.stringify(outside)},'kept');`,
    );
    run(`const a=fs.openSync('both','r+');fs.fsyncSync(a);`);
    assert.equal(interposer.cut(lose).lost, 0);
    assert.equal(readFileSync(join(root, 'both'), 'utf8'), 'kept');
    assert.equal(readFileSync(outside, 'utf8'), 'kept');
  });
});
