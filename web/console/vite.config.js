import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2022',
    // The icon is both an import and a link of index.html; which of the two Vite meets first would
    // decide whether it is inlined, and the build would not repeat byte for byte.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The notices of everything bundled travel with it.
    license: { fileName: 'licenses.md' },
    // Monaco's editor is one chunk of this size; splitting it further only adds requests.
    chunkSizeWarningLimit: 4096,
    rolldownOptions: {
      onLog(level, log, handler) {
        // React Compiler's "use no memo" speaks to the compiler that already ran.
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') {
          handler(level, log);
        }
      },
    },
  },
});
