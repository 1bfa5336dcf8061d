import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'mocha';
import { runTranscript } from './transcript.ts';

const SCRIPTS = fileURLToPath(new URL('../../../broker/consensus/testdata/', import.meta.url));

describe('consensus transcripts', () => {
  for (const name of readdirSync(SCRIPTS).filter((file) => file.endsWith('.txt')))
    it(name.replace('.txt', '').replaceAll('-', ' '), () => {
      const path = `${SCRIPTS}${name}`;
      const script = readFileSync(path, 'utf8');
      const answered = runTranscript(script);
      if (process.env['REWRITE'] === '1') writeFileSync(path, answered);
      else assert.equal(answered, script);
    });

  it('tell a command that they do not know', () => {
    assert.equal(runTranscript('dance 1\n----\n'), 'dance 1\n----\n? dance\n');
  });
});
