/** A Chromium for tests. */
import { type Browser, chromium } from 'playwright-core';
import { chromiumPath } from './chromium.ts';

/** Of two lists the last counts, and Playwright has one: these are its own, so that they stay off. */
const PLAYWRIGHT_OFF = [
  'AvoidUnnecessaryBeforeUnloadCheckSync',
  'DestroyProfileOnBrowserClose',
  'HttpsUpgrades',
  'HttpsFirstBalancedModeAutoEnable',
  'LensOverlay',
  'MediaRouter',
  'PaintHolding',
  'ThirdPartyStoragePartitioning',
  'AvoidCorsURLLoaderRestartOnRedirect',
  'OptimizationHints',
  'NetworkTimeServiceQuerying',
  'AimEnabled',
  'PreconnectToSearch',
];
/** Pages of the address bar that each new window loads: half a second of processor time, for nobody. */
const POPUPS = ['WebUIOmniboxPopup', 'WebUIOmniboxAimPopup', 'WebUIOmniboxFullPopup'];

const FLAGS = [
  `--disable-features=${[...PLAYWRIGHT_OFF, ...POPUPS].join(',')}`,
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
