import { createClient, memoryStore } from '@parley/sdk';
import { createAuth } from '@parley/sdk/auth';
import { nodeWebSocket } from '@parley/sdk/node';
const url = process.argv[2] ?? 'http://127.0.0.1:8080';
async function person(username) {
  const auth = createAuth({ url });
  const me = await auth.signUp({ username, password: 'correct horse' });
  const more = { store: memoryStore(), transports: [await nodeWebSocket()] };
  const client = createClient({ url, credential: auth.credential, ...more });
  await client.start();
  return { client, id: me.userId };
}
const [ana, bob] = [await person('ana'), await person('bob')];
const chat = bob.client.direct(ana.id).timeline();
chat.subscribe(() => console.log('bob sees', chat.get().rows.at(-1)?.content?.text.body ?? '…'));
const message = ana.client.direct(bob.id).send({ text: { body: 'Hello Bob' } });
message.state.subscribe(() => console.log('ana’s tick', message.state.get().is));
console.log('durable', await message.accepted);
while (message.state.get().is !== 'DELIVERED') await new Promise((done) => setTimeout(done, 50));
await Promise.all([ana.client.stop(), bob.client.stop()]);
