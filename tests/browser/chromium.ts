/** Where a Chromium is, if there is one. Without it the browser tests are left out, by name. */
import { existsSync } from 'node:fs';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export function chromiumPath(): string | undefined {
  return PLACES.find((path) => existsSync(path));
}
