import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { deviceNameOf } from './device-name.ts';

describe('the name of a device', () => {
  it('is its browser and system', () => {
    const chrome =
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36';
    assert.deepEqual(deviceNameOf(chrome), { name: 'Chrome on Linux', platform: 'web' });
    assert.equal(deviceNameOf(`${chrome} Edg/150`).name, 'Edge on Linux');
    const iphone =
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18 Mobile Safari/604';
    assert.equal(deviceNameOf(iphone).name, 'Safari on iOS');
    assert.equal(deviceNameOf('curl/8').name, 'Browser');
  });
});
