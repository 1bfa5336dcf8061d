import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { webSocketUrlFor, type EdgeAddress } from './web-socket-url.ts';

const EDGE: EdgeAddress = {
  host: '127.0.0.1',
  httpPort: 8080,
  wsPort: 8081,
  publicUrl: '',
  webSocketUrl: '',
};

describe('the WebSocket address of /v1/meta', () => {
  it('is under the name that the client used, on the fast port where there is one', () => {
    assert.equal(webSocketUrlFor('chat.example:8080', EDGE), 'ws://chat.example:8081/v1/ws');
    assert.equal(webSocketUrlFor('[::1]:8080', EDGE), 'ws://[::1]:8081/v1/ws');
    const alone = { ...EDGE, wsPort: 0 };
    assert.equal(webSocketUrlFor('chat.example:8080', alone), 'ws://chat.example:8080/v1/ws');
  });
  it('a Host header that is none is answered with what is listened on', () => {
    for (const host of ['', '[', 'a b', 'a:b:c', '%', ':80'])
      assert.equal(webSocketUrlFor(host, EDGE), 'ws://127.0.0.1:8081/v1/ws', host);
  });
  it('what is configured goes before', () => {
    const publicUrl = 'https://chat.example/';
    assert.equal(webSocketUrlFor('x', { ...EDGE, publicUrl }), 'wss://chat.example/v1/ws');
    const webSocketUrl = 'wss://fast.example/v1/ws';
    assert.equal(webSocketUrlFor('x', { ...EDGE, publicUrl, webSocketUrl }), webSocketUrl);
  });
});
