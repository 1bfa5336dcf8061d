import assert from 'node:assert/strict';
import { MessageChannel } from 'node:worker_threads';
import { Server, ServerCredentials, credentials } from '@grpc/grpc-js';
import { after, before, describe } from 'mocha';
import type { Link } from '../../core/link.ts';
import { GRPC_LINK_OPTIONS, dialLink, serveLinks } from './grpc-link.ts';
import { suite } from './link-contract.ts';
import { MessagePortLink } from './message-port-link.ts';

suite('MessagePortLink', true, async () => {
  const { port1, port2 } = new MessageChannel();
  const a = new MessagePortLink(port1);
  const b = new MessagePortLink(port2);
  return {
    a,
    b,
    close: async () => {
      a.close();
      b.close();
    },
  };
});

describe('GrpcLink', () => {
  const server = new Server(GRPC_LINK_OPTIONS);
  const accepted: ((link: Link) => void)[] = [];
  let port = 0;
  before(async () => {
    serveLinks(server, (link) => accepted.shift()?.(link));
    port = await new Promise((done, fail) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? done(bound) : fail(error),
      ),
    );
    assert.ok(port > 0);
  });
  after(() => server.forceShutdown());
  suite('between processes', false, async () => {
    const arrived = new Promise<Link>((done) => accepted.push(done));
    const a = dialLink(`127.0.0.1:${port}`, credentials.createInsecure());
    const b = await arrived;
    return {
      a,
      b,
      close: async () => {
        a.close();
        b.close();
      },
    };
  });
});
