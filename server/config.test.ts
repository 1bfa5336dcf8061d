import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { describe, it } from 'mocha';
import { ParleyError } from '../core/errors.ts';
import { FRAME_BYTES_MAX } from '../storage-engine/wal/frame.ts';
import { configDocument } from './config-document.ts';
import { identitySlice, sessionSlice } from './config-slices.ts';
import { CONFIG_SECTIONS, CONFIG_TABLE } from './config-table.ts';
import {
  configNames,
  defaultConfig,
  envNameOf,
  flagNameOf,
  loadConfig,
  type ConfigSources,
  type LoadedConfig,
} from './config.ts';

function load(given: Partial<ConfigSources>): LoadedConfig {
  const readText = (): string => assert.fail('no file was named');
  return loadConfig({ flags: [], env: {}, workingDir: '/srv', readText, ...given });
}

function problemsOf(given: Partial<ConfigSources>): string[] {
  try {
    load(given);
  } catch (thrown) {
    assert.ok(thrown instanceof ParleyError);
    assert.equal(thrown.reason, 'BAD_FIELD');
    return thrown.message.split('\n- ').slice(1);
  }
  assert.fail('it was accepted');
}

describe('configuration', () => {
  it('nothing set is a working single server on this machine only', () => {
    const { config, warnings } = load({});
    assert.equal(config.host, '127.0.0.1');
    assert.equal(config.httpPort, 8080);
    assert.equal(config.dataDir, '/srv/data');
    assert.equal(config.keyFile, '/srv/data.key');
    assert.equal(config.shards, 16);
    assert.ok(config.postgresUrl.isEmpty());
    assert.deepEqual(warnings, []);
    assert.ok(Object.isFrozen(config));
  });

  it('a flag goes before a variable, a variable before the default', () => {
    const env = { PARLEY_HTTP_PORT: '9000', PARLEY_SIGNUP: 'invite' };
    const { config } = load({ env, flags: ['--http-port', '0'] });
    assert.equal(config.httpPort, 0);
    assert.equal(config.signup, 'invite');
  });

  it('the key file follows the data directory unless it is named', () => {
    assert.equal(load({ env: { PARLEY_DATA_DIR: '/var/x' } }).config.keyFile, '/var/x.key');
    const env = { PARLEY_DATA_DIR: '/var/x', PARLEY_KEY_FILE: 'k' };
    assert.equal(load({ env }).config.keyFile, '/srv/k');
  });

  it('every problem is reported at once, naming how it was given', () => {
    const problems = problemsOf({
      env: {
        PARLEY_HTTP_PORT: '70000',
        PARLEY_SIGNUP: 'maybe',
        PARLEY_ALLOWED_ORIGINS: 'https://a.example,nonsense/',
        PARLEY_TRUSTED_PROXIES: '10.0.0.0/8, 10.0.0.0/33',
        PARLEY_GROUP_MEMBERS_MAX: '1e3',
      },
      flags: ['--shards', '0', '--colour', 'red'],
    });
    assert.equal(problems.length, 8);
    const all = problems.join('\n');
    assert.match(all, /PARLEY_HTTP_PORT: "70000" is not a whole number from 0 to 65535 \(port\)/);
    assert.match(all, /PARLEY_SIGNUP: "maybe" is none of open, invite, closed/);
    assert.match(all, /PARLEY_ALLOWED_ORIGINS/);
    assert.match(
      all,
      /PARLEY_TRUSTED_PROXIES: "[^"]*" is not a list of addresses or CIDR ranges separated by commas/,
    );
    assert.match(all, /PARLEY_GROUP_MEMBERS_MAX/);
    assert.match(all, /--shards: "0"/);
    assert.match(all, /--colour: there is no such flag/);
  });

  it('settings that contradict one another are refused', () => {
    assert.match(
      problemsOf({ env: { PARLEY_FRAME_RATE: '500', PARLEY_FRAME_BURST: '10' } }).join(),
      /PARLEY_FRAME_RATE must not exceed PARLEY_FRAME_BURST/,
    );
    assert.match(problemsOf({ env: { PARLEY_KEY_FILE: '/srv/data/key' } }).join(), /every backup/);
    assert.match(problemsOf({ env: { PARLEY_WS_PORT: '8080' } }).join(), /must differ/);
  });

  it('whatever is allowed to wait for one sync fits into one frame of the log', () => {
    for (const name of ['uncommittedShardBytesMax', 'uncommittedStoreBytesMax'] as const) {
      const entry = CONFIG_TABLE[name];
      assert.ok(entry.type === 'integer' && entry.max <= FRAME_BYTES_MAX, name);
    }
  });

  it('a flag without its value is a problem, not a crash', () => {
    assert.match(problemsOf({ flags: ['--http-port'] }).join(), /--http-port/);
  });

  it('a secret prints as [redacted] everywhere and has no flag', () => {
    const url = 'postgresql://u:hunter2@db/parley';
    const { config } = load({ env: { PARLEY_POSTGRES_URL: url } });
    assert.equal(config.postgresUrl.reveal(), url);
    const seen = [inspect(config), JSON.stringify(config), `${config.postgresUrl.toString()}`];
    for (const text of seen) assert.ok(!text.includes('hunter2') && text.includes('[redacted]'));
    assert.match(problemsOf({ flags: ['--postgres-url', url] }).join(), /no such flag/);
  });

  it('a secret may lie in a file; a wrong one is not repeated in the message', () => {
    const env = { PARLEY_POSTGRES_URL_FILE: 'pg' };
    const readText = (path: string): string => (path === '/srv/pg' ? 'postgres://x/y\n' : '');
    assert.equal(load({ env, readText }).config.postgresUrl.reveal(), 'postgres://x/y');
    const wrong = problemsOf({ env: { PARLEY_POSTGRES_URL: 'mysql://hunter2' } }).join();
    assert.ok(!wrong.includes('hunter2'));
    const missing = problemsOf({
      env,
      readText: () => {
        throw Object.assign(new Error('no'), { code: 'ENOENT' });
      },
    });
    assert.deepEqual(missing, ['PARLEY_POSTGRES_URL_FILE: cannot read pg (ENOENT)']);
  });

  it('an unknown PARLEY_ variable is a warning: a typo is seen, a foreign one does no harm', () => {
    const { warnings } = load({
      env: { PARLEY_HTPP_PORT: '1', PARLEY_POSTGRES_URL_FILE: undefined },
    });
    assert.match(warnings.join(), /PARLEY_HTPP_PORT is set but there is no such setting/);
  });

  it('every entry is documented, within its bounds, and its names are derived', () => {
    for (const name of configNames()) {
      const entry = CONFIG_TABLE[name];
      assert.ok(entry.doc.length > 20 && entry.doc.endsWith('.'), name);
      if (entry.type === 'integer')
        assert.ok(entry.default >= entry.min && entry.default <= entry.max, name);
      assert.ok(configDocument().includes(`\`${envNameOf(name)}\``), name);
    }
    assert.equal(envNameOf('accessTokenTtlMs'), 'PARLEY_ACCESS_TOKEN_TTL_MS');
    assert.equal(flagNameOf('httpPort'), '--http-port');
    for (const [first] of CONFIG_SECTIONS) assert.ok(configNames().includes(first));
  });

  it('slices are frozen, filled and can cross to a worker thread', () => {
    const config = defaultConfig({ dataDir: '/tmp/x' });
    assert.equal(config.keyFile, '/tmp/x.key');
    for (const slice of [identitySlice(config), sessionSlice(config)]) {
      assert.ok(Object.isFrozen(slice));
      for (const value of Object.values(slice)) assert.notEqual(value, undefined);
      assert.deepEqual(structuredClone(slice), slice);
    }
  });
});
