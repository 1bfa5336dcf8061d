/** One Chromium for a file of tests. */
import { type Browser, chromium } from 'playwright-core';
import { chromiumPath } from './chromium.ts';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

export async function openBrowser(): Promise<Browser> {
  const path = chromiumPath();
  if (path === undefined) throw new Error('no Chromium: the runner leaves these tests out');
  return chromium.launch({ executablePath: path, headless: true, args: FLAGS });
}
