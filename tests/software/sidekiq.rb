# SPDX-License-Identifier: MIT
# Sidekiq: a client, and a worker process with scheduled jobs and retries (sidekiq_jobs.rb).
require 'sidekiq'
require 'sidekiq/api'
require_relative 'sidekiq_jobs'

$count = $failed = 0

def ok(passed, claim, *notes)
  $count += 1
  $failed += 1 unless passed
  puts "#{passed ? '' : 'not '}ok #{$count} - #{claim}"
  notes.each { |note| puts "#   #{note.inspect}" } unless passed
  $stdout.flush
end

def until_true(seconds = 60)
  finish = Time.now + seconds
  until yield
    return false if Time.now > finish
    sleep 0.02
  end
  true
end

def redis
  Sidekiq.redis { |r| return yield(r) }
end

20.times { |i| Count.perform_async(i) }
Count.perform_in(0.5, 100)
Hard.perform_async
Hopeless.perform_async
ok(Sidekiq::Queue.new.size == 22, 'sidekiq: jobs wait', Sidekiq::Queue.new.size)
ok(Sidekiq::ScheduledSet.new.size == 1, 'sidekiq: a scheduled one by itself')

worker = spawn('ruby', '-S', 'sidekiq', '-r', File.join(__dir__, 'sidekiq_jobs.rb'), '-c', '2', '-t', '1', out: '/dev/null', err: '/dev/null')
begin
  ok(until_true { redis { |r| r.scard('seen') } == 21 }, 'sidekiq: every job runs, and the scheduled one in its time', redis { |r| r.smembers('seen') })
  ok(redis { |r| r.get('runs') }.to_i == 21, 'sidekiq: once', redis { |r| r.get('runs') })
  ok(until_true { redis { |r| r.get('hard') } == 'done' }, 'sidekiq: a job that fails is tried again', redis { |r| r.get('hard') })
  ok(until_true { Sidekiq::DeadSet.new.size == 1 }, 'sidekiq: one that fails for good is dead')
  ok(Sidekiq::DeadSet.new.first.klass == 'Hopeless', 'sidekiq: and known by name')
  ok(until_true { Sidekiq::Queue.new.size.zero? && Sidekiq::RetrySet.new.size.zero? }, 'sidekiq: nothing is left')
  ok(until_true { Sidekiq::ProcessSet.new.size == 1 }, 'sidekiq: the process shows itself')
  ok(until_true { Sidekiq::Stats.new.processed >= 23 }, 'sidekiq: and counts', Sidekiq::Stats.new.processed)
ensure
  Process.kill('TERM', worker)
  Process.wait(worker)
end
puts "1..#{$count}"
$stdout.flush
exit!($failed.zero? ? 0 : 1)
