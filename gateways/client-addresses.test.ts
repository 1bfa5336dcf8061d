import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ClientAddresses, isAddressRange } from './client-addresses.ts';

const PROXIES = new ClientAddresses(['10.0.0.0/8', '192.0.2.1', 'fd00:1::/32']);

describe('client addresses', () => {
  it('of a peer that is no trusted proxy count, whatever it says of itself', () => {
    const nobody = new ClientAddresses([]);
    for (const addresses of [nobody, PROXIES])
      assert.equal(addresses.of('203.0.113.7', '198.51.100.1'), '203.0.113.7');
    assert.equal(nobody.of('10.0.0.1', '198.51.100.1'), '10.0.0.1');
    assert.equal(PROXIES.of('192.0.2.2', '198.51.100.1'), '192.0.2.2');
  });

  it('behind trusted proxies are the right-most one that is not trusted', () => {
    for (const [peer, forwardedFor, expected] of [
      ['10.0.0.1', '198.51.100.1', '198.51.100.1'],
      ['192.0.2.1', '6.6.6.6, 198.51.100.1', '198.51.100.1'],
      ['fd00:1::9', '6.6.6.6,198.51.100.1 , 10.1.1.1,192.0.2.1', '198.51.100.1'],
      ['::ffff:10.0.0.1', '198.51.100.1', '198.51.100.1'],
      ['10.0.0.1', '6.6.6.6, ::ffff:198.51.100.1', '198.51.100.1'],
      ['10.0.0.1', '198.51.100.1:50123', '198.51.100.1'],
      ['10.0.0.1', '[2001:db8:1:2:3::4]:50123', '2001:db8:1:2::/64'],
    ] as const)
      assert.equal(PROXIES.of(peer, forwardedFor), expected, `${peer} ${forwardedFor}`);
  });

  it('are the last trusted ones where the proxies tell no more, or no address', () => {
    for (const [forwardedFor, expected] of [
      ['', '10.0.0.1'],
      ['10.2.2.2', '10.2.2.2'],
      ['198.51.100.1, unknown', '10.0.0.1'],
      ['198.51.100.1, 10.2.2.2, ', '10.0.0.1'],
      ['198.51.100.1, _hidden, 10.2.2.2', '10.2.2.2'],
    ] as const)
      assert.equal(PROXIES.of('10.0.0.1', forwardedFor), expected, forwardedFor);
    assert.equal(PROXIES.of('', '198.51.100.1'), '');
  });

  it('of IPv6 count by /64, mapped ones as IPv4, in whatever form a library writes them', () => {
    const nobody = new ClientAddresses([]);
    for (const [peer, expected] of [
      ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
      ['2001:0DB8:0001:0002:ffff:0000:0000:0001', '2001:db8:1:2::/64'],
      ['2001:db8::1', '2001:db8:0:0::/64'],
      ['2001:db8:0:0:1::', '2001:db8:0:0::/64'],
      ['1:2:3::', '1:2:3:0::/64'],
      ['fe80::1%eth0', 'fe80:0:0:0::/64'],
      ['::1', '0:0:0:0::/64'],
      ['0000:0000:0000:0000:0000:0000:0000:0001', '0:0:0:0::/64'],
      ['0000:0000:0000:0000:0000:ffff:7f00:0001', '127.0.0.1'],
      ['::ffff:127.0.0.1', '127.0.0.1'],
    ] as const)
      assert.equal(nobody.of(peer, ''), expected, peer);
  });

  it('ranges are addresses and CIDR, of IPv4 or IPv6', () => {
    for (const good of [
      '10.0.0.1',
      '10.0.0.0/8',
      '0.0.0.0/0',
      '::1',
      'fd00::/8',
      '2001:db8::1/128',
    ])
      assert.ok(isAddressRange(good), good);
    for (const bad of [
      '',
      'proxy',
      '10.0.0',
      '10.0.0.0/33',
      '10.0.0.0/',
      '10.0.0.0/-1',
      '10.0.0.0/8/8',
      '10.0.0.1:80',
      'fd00::/129',
      '::ffff:10.0.0.0/104',
    ])
      assert.ok(!isAddressRange(bad), bad);
  });
});
