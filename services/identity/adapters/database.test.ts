import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { Database } from './database.ts';

describe('the accounts’ database', () => {
  it('a query that comes behind the stop is told that the server is stopping', async () => {
    const database = new Database({ target: { url: 'postgresql://127.0.0.1:9/none' }, poolMax: 1 });
    await database.stop();
    await assert.rejects(database.query({ name: 'one', text: 'select 1' }, []), {
      reason: 'DRAINING',
    });
  });
});
