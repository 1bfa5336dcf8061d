/** Runs a compiled program after the set-up: `node tools/run.mjs dist/tools/parley.js ...`. */
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { ROOT, setup } from './setup.mjs';

setup();
const [program, ...rest] = process.argv.slice(2);
process.argv = [process.argv[0], join(ROOT, program), ...rest];
await import(pathToFileURL(join(ROOT, program)).href);
