# frozen_string_literal: true

# lib/capistrano/tasks/windlass.rake: the migrations of a release go to the fleet when its files are on the server, and before it becomes the
# current one. Where that fails, Capistrano stops there: the old release stays current, and the fleet is as it was.
#
# `windlass serve` runs on the server that has the releases, and finds them by the name that Capistrano gives them:
#
#   [serve.release]
#   folder = "/srv/shop/releases/{revision}/db/migrations"
#
# The `windlass` program is needed where `cap` runs, with the environment variable WINDLASS_TOKEN, a token of the role operator:
# a deployer may not take a deploy back, as reverting does. In config/deploy.rb:
#
#   set :windlass_server, 'https://windlass.example.org'

require 'shellwords'

namespace :windlass do
  # What each exit code means for whoever reads the end of Capistrano's output.
  ends = {
    1 => 'refused before anything was touched',
    2 => 'the command line was not understood',
    3 => 'unwound: every tenant is as it was. Mend the migration',
    5 => 'a human must decide. Do not deploy again, do not roll back: see the page of the server',
    6 => 'unwound, but for tenants that were left by decision. Look at them'
  }

  # Runs a command here, shows its lines as they come, and gives back the deploy that it speaks of, if there was anything to do.
  follow = lambda do |command|
    deploy = nil
    IO.popen(command, err: %i[child out]) do |lines|
      lines.each do |line|
        puts "      #{line}"
        # The line with which it begins: what was taken in may yet turn out to be nothing to do.
        deploy ||= line[/\Adeploy (\h{8}-\h{4}-\h{4}-\h{4}-\h{12}): /, 1]
      end
    end
    code = $?.exitstatus
    warn '      some tenants were set aside; the rest of the fleet is on the release' if code == 4
    raise "#{command.shelljoin}: #{ends.fetch(code, "ended with #{code}")}" unless [0, 4].include?(code)

    deploy
  end

  desc 'Take the migrations of the new release to every tenant, and wait'
  task :deploy do
    server = fetch(:windlass_server)
    revision = fetch(:release_timestamp)
    deploy = follow.call(%W[windlass deploy --server #{server} --revision #{revision} --wait=90m])
    next unless deploy

    # Kept with the release, so that a rollback takes back this deploy and no other.
    on release_roles(:all) do
      upload! StringIO.new(deploy), release_path.join('WINDLASS_DEPLOY')
    end
  end

  # The release that is left is still the current one while Capistrano is reverting. Where it brought no migration, there is nothing to take
  # back: not the deploy of an earlier release.
  desc 'Take back what the deploy of the release that is left has done, and wait'
  task :rollback do
    deploy = nil
    on primary(:app) do
      file = current_path.join('WINDLASS_DEPLOY')
      deploy = capture(:cat, file).strip if test("[ -f #{file.to_s.shellescape} ]")
    end
    if deploy
      server = fetch(:windlass_server)
      follow.call(%W[windlass rollback --server #{server} #{deploy}])
    else
      puts '      the release that is left brought no migration'
    end
  end
end

after 'deploy:updated', 'windlass:deploy'
after 'deploy:reverting', 'windlass:rollback'
