import { credentials, loadPackageDefinition, Metadata } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
const [token, from, to, address = '127.0.0.1:8081'] = process.argv.slice(2);
const proto = loadSync('parley/broker/v1/broker.proto', { includeDirs: ['proto'], longs: Number });
const { BrokerService } = loadPackageDefinition(proto).parley.broker.v1;
const broker = new BrokerService(address, credentials.createInsecure());
const metadata = Metadata.fromHttp2Headers({ authorization: `Bearer ${token}` });
const publish = broker.Publish(metadata).on('data', ({ commit, error }) => {
  console.log('published', commit ?? error);
  const conversations = [{ conversationId: commit.conversationId, cursor: { sequence: 0 } }];
  const subscription = broker.Subscribe({ conversations }, metadata);
  subscription.on('data', ({ rows }) => rows && console.log('subscribed', rows.rows.at(-1).body));
});
const body = { message: { text: { body: 'Your order is on its way' } } };
publish.write({ as: from, send: { to, clientMessageId: crypto.randomUUID(), body } });
