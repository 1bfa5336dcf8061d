import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { addressOf, cannotListen } from './listening.ts';

function said(code: string | undefined, port: number = 8080): string {
  const names = { what: 'HTTP', hostSetting: 'PARLEY_HOST', portSetting: 'PARLEY_HTTP_PORT' };
  return cannotListen({ ...names, host: '192.0.2.1', port, code }).message;
}

describe('a port that cannot be listened on', () => {
  it('in use: the port and the setting that moves it are named', () => {
    assert.match(
      said('EADDRINUSE'),
      /192\.0\.2\.1:8080: another program .*PARLEY_HTTP_PORT \(0 = any/,
    );
  });

  it('for a reason that is not told: the likeliest one, and the host to check', () => {
    assert.match(said(undefined), /most often another program .*\(0 = any.*check PARLEY_HOST/);
  });

  it('of an IPv6 address is shown in brackets', () => {
    assert.equal(addressOf('::1', 80), '[::1]:80');
    assert.equal(addressOf('127.0.0.1', 80), '127.0.0.1:80');
  });

  it('a privileged one: a higher port is the way out', () => {
    assert.match(said('EACCES', 80), /below 1024 .*higher PARLEY_HTTP_PORT/);
    assert.match(said('EACCES'), /forbids it \(EACCES\).*PARLEY_HTTP_PORT/);
  });

  it('an address that is not of this machine: the host is what is wrong, not the port', () => {
    for (const code of ['EADDRNOTAVAIL', 'ENOTFOUND'])
      assert.match(said(code), /no such address .*check PARLEY_HOST \(127\.0\.0\.1/);
  });

  it('anything else names its code and both settings', () => {
    assert.match(said('EMFILE'), /EMFILE; check PARLEY_HOST and PARLEY_HTTP_PORT/);
  });
});
