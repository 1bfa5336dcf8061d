/** The client against a scripted one in memory: `npx vite --config clients/web/dev/vite.config.ts`. */
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  publicDir: '../public',
  plugins: [react()],
  build: { outDir: '../../../dist/clients/web-demo', emptyOutDir: true, assetsInlineLimit: 0 },
  server: { host: '127.0.0.1' },
});
