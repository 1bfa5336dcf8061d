import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'mocha';
import { HttpHouse } from '../testing/http-house.ts';

const house = new HttpHouse();
let dir = '';

describe('static files', () => {
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'parley-static-'));
    mkdirSync(join(dir, 'web', 'assets'), { recursive: true });
    writeFileSync(
      join(dir, 'web', 'index.html'),
      `<!doctype html><title>Parley</title>${' '.repeat(600)}`,
    );
    writeFileSync(join(dir, 'web', 'assets', 'main-a1b2c3d4.js'), 'export {};');
    writeFileSync(join(dir, 'secret.txt'), 'secret');
    writeFileSync(join(dir, 'web', '.env'), 'secret');
  });
  after(() => rmSync(dir, { recursive: true }));
  afterEach(() => house.end());

  it('the page is asked for each time, hashed names are kept for ever', async () => {
    await house.open({}, join(dir, 'web'));
    const page = await house.ask('GET /', { headers: { accept: 'text/html' } });
    assert.equal(page.status, 200);
    assert.equal(page.headers.get('cache-control'), 'no-cache');
    const etag = page.headers.get('etag') ?? '';
    const known = await house.ask('GET /', {
      headers: { accept: 'text/html', 'if-none-match': etag },
    });
    assert.equal(known.status, 304);
    const script = await house.ask('GET /assets/main-a1b2c3d4.js');
    assert.match(script.headers.get('cache-control') ?? '', /immutable/);
    assert.match(script.headers.get('content-type') ?? '', /javascript/);
  });

  it('pages may load and connect to nothing but their own server (CLIENT §2)', async () => {
    await house.open({}, join(dir, 'web'));
    const { headers } = await house.ask('GET /', { headers: { accept: 'text/html' } });
    const policy = headers.get('content-security-policy') ?? '';
    for (const rule of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self' ws://127.0.0.1:9001",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ])
      assert.ok(policy.includes(rule), rule);
    assert.ok(!policy.includes('unsafe'));
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
  });

  it('places within the client are the page; missing files are not', async () => {
    await house.open({}, join(dir, 'web'));
    const place = await house.ask('GET /c/cnv_1', { headers: { accept: 'text/html' } });
    assert.match(place.text, /Parley/);
    assert.equal((await house.ask('GET /login', { headers: { accept: 'text/html' } })).status, 200);
    assert.equal((await house.ask('GET /')).status, 200, 'also for curl');
    assert.equal(
      (await house.ask('GET /missing.js', { headers: { accept: 'text/html' } })).status,
      501,
    );
    assert.equal((await house.ask('GET /c/cnv_1')).status, 501);
  });

  it('nothing outside the directory is served', async () => {
    await house.open({}, join(dir, 'web'));
    for (const path of [
      '/../secret.txt',
      '/%2e%2e/secret.txt',
      '/..%2fsecret.txt',
      '/.env',
      '/assets/..%2f..%2fsecret.txt',
      '/%00',
      '/..%5csecret.txt',
    ])
      assert.ok(
        !(await house.ask(`GET ${path}`)).text.includes('secret\n') &&
          (await house.ask(`GET ${path}`)).status === 501,
        path,
      );
  });
});
