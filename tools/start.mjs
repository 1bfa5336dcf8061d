/**
 * `npm start`: set-up, then the server in this same process, so that signals reach it (therefore also
 * the `exec` in package.json: npm tells its child alone, which must be this and not a shell).
 */
import { setup } from './setup.mjs';

setup();
await import('../dist/server/main.js');
