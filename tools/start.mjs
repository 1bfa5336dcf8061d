/** `npm start`: set-up, then the server in this same process, so that signals reach it. */
import { setup } from './setup.mjs';

setup();
await import('../dist/server/main.js');
